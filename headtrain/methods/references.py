"""BibTeX of what a methods paragraph cites."""

from collections.abc import Iterable

REFERENCES = {
    "fajtl2018amnet": """@inproceedings{fajtl2018amnet,
  title     = {{AMNet}: Memorability Estimation with Attention},
  author    = {Fajtl, Jiri and Argyriou, Vasileios and Monekosso, Dorothy and Remagnino, Paolo},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2018}
}""",
    "he2016deep": """@inproceedings{he2016deep,
  title     = {Deep Residual Learning for Image Recognition},
  author    = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2016}
}""",
    "kingma2015adam": """@inproceedings{kingma2015adam,
  title     = {Adam: A Method for Stochastic Optimization},
  author    = {Kingma, Diederik P. and Ba, Jimmy},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2015}
}""",
    "hastie2009elements": """@book{hastie2009elements,
  title     = {The Elements of Statistical Learning},
  author    = {Hastie, Trevor and Tibshirani, Robert and Friedman, Jerome},
  edition   = {2},
  publisher = {Springer},
  year      = {2009}
}""",
    "nadeau2003inference": """@article{nadeau2003inference,
  title   = {Inference for the Generalization Error},
  author  = {Nadeau, Claude and Bengio, Yoshua},
  journal = {Machine Learning},
  volume  = {52},
  year    = {2003}
}""",
    "khosla2015understanding": """@inproceedings{khosla2015understanding,
  title     = {Understanding and Predicting Image Memorability at a Large Scale},
  author    = {Khosla, Aditya and Raju, Akhil S. and Torralba, Antonio and Oliva, Aude},
  booktitle = {International Conference on Computer Vision (ICCV)},
  year      = {2015}
}""",
    "isola2011what": """@inproceedings{isola2011what,
  title     = {What Makes an Image Memorable?},
  author    = {Isola, Phillip and Xiao, Jianxiong and Torralba, Antonio and Oliva, Aude},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2011}
}""",
    "lu2020understanding": """@article{lu2020understanding,
  title   = {Understanding and Predicting the Memorability of Outdoor Natural Scenes},
  author  = {Lu, Jiaxin and Xu, Mai and Yang, Ren and Wang, Zulin},
  journal = {IEEE Transactions on Image Processing},
  year    = {2020}
}""",
}
OF_DATA = {"LaMem": "khosla2015understanding", "SUN": "isola2011what", "LNSIM": "lu2020understanding"}


def bibtex(keys: Iterable[str]) -> str:
    """Return the entries of these keys, each once, in the order in which they are cited."""
    return "\n\n".join(REFERENCES[key] for key in dict.fromkeys(keys))
